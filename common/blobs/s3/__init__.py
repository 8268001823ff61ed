"""Blobs as objects of an S3 bucket, at AWS or on any other server with that API."""
