"""Text: tokenizer and transcripts."""
