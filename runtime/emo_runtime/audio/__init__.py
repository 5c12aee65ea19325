"""Sound: decoding, formats, encodings and front ends."""
