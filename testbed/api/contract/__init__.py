"""Google's description of its APIs: methods, messages, errors, field masks, pages and filters of lists."""
