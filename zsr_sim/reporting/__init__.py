"""What a person looks at after a run: figures, and one HTML page."""
