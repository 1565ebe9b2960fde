"""Cloud Run v2, and v1 (Knative's form) as a translation to the same services, revisions and jobs."""
