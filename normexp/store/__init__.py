"""The store: directories, files and tables. Nothing else knows a path."""
