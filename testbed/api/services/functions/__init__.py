"""Cloud Functions: v2, and v1 as a translation to the same resources."""
