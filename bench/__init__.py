"""Measurements that print one JSON object a row; run from a checkout by `unrolled bench NAME --json`."""
