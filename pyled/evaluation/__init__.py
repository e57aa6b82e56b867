"""`pyled evaluate`: how close a model's summaries come to those that people wrote, and to those of simple rules.

To be read in this order: rouge, baselines, bootstrap, systems, groups, report.
"""
