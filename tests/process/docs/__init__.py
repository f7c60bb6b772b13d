"""Every block that the documents show is run, or checked where it cannot be run here."""
