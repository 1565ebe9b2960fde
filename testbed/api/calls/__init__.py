"""One call on its way, the same for all APIs: admission, dispatch, operations, the audit log."""
