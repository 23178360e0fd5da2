"""Files to pieces of documents: text, records, and tokens that others made."""
