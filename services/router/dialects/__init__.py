"""Wire formats of providers, one pure file each: request out, reply and stream in, errors classified."""
