"""One study in several processes."""
