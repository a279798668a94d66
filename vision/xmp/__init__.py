"""XMP sidecars beside photos, written by ExifTool, in which a person's words stay as they are."""
