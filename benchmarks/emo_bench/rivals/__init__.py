"""Rivals: the same checkpoint in other engines, the whole job from sound file to answer."""
