"""What an event is, and what a part is, byte for byte."""
