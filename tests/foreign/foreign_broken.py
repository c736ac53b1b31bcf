"""The code location `broken`: as it is after a bad commit of another team."""

raise ImportError("cannot import name 'legacy_client' from 'partner'")
