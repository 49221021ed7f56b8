"""Many configurations of one experiment, trained, scored and compared."""
