"""Metrics, calibration, baselines and reports."""
