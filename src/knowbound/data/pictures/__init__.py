"""Pictures in files, folders, lists and archives -> Sources."""
