"""The model card of emo-es-small and its figures."""
