"""From a file or frame to series, split and windows."""
