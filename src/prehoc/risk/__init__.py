"""Proxies of the risk L(c), the envelope that is fitted to them, where to stop, and the regime."""
