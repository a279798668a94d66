"""What a caption may be, whatever wrote it: without loops, boilerplate openings and refusals."""
