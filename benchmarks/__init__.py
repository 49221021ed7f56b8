"""Speed and quality, side by side with the published programs."""
