"""Text, fusion and speech networks in PyTorch: definitions, corpora, training, evaluation.

Needs ``pip install "emo-runtime[train]"``; nothing here is needed to run a bundle.
"""
