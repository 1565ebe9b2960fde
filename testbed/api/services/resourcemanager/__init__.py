"""Cloud Resource Manager v1 and v3: projects.  There is no organization, and every project that is named exists."""
