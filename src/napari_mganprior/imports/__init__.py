"""Other people's generators: read safely, recognised, checked, turned into priors of ours."""
