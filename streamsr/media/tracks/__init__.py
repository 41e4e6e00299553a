"""What a file carries beside its video: described, waiting for its frame, written."""
