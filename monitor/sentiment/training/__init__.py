"""How the embedded model is made: from the base's published weights to the folder `weights`, by one command.

`python -m monitor.sentiment.training --help` says how; EXPERIMENTS.md what was tried on the way, failures included. Nothing
here is imported by the product; it needs the extra `train`.
"""
