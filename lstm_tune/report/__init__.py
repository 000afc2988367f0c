"""The run folder: result.json, tables, and the HTML report."""
