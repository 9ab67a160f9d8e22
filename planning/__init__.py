"""What should run: settings, catalog and the plan made of them. Pure Python; never imports pulumi."""
