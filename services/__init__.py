"""Tollbook's services. A service never imports another one; they share `schemas` alone."""
