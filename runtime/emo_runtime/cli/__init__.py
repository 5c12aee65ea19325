"""The commands of the base package: emo-predict and emo-bundle."""
