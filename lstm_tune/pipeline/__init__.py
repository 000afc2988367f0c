"""`tune` itself: from data to a written result."""
