"""Looking inside models, and holding them to the laws."""
