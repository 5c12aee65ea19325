"""Integrations with voice frameworks: ``emo_integrations.pipecat``, ``emo_integrations.livekit``.

Each module needs the extra of its name.
"""
