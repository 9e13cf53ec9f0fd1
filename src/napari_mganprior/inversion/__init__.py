"""The search for latent codes that explain a measurement."""
