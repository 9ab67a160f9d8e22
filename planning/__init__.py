"""What should run: settings, catalog and the plan made of them. Pure Python; never imports pulumi.

Packages from the bottom up: settings, hosts, models, memory, gateway, rules, services. `plan` stands on all of them and
reads as a summary. Imports nothing else of ours.
"""
