"""Source code that was uploaded, on its way to a runtime: unpacked into folders, and looked at before it is run."""
