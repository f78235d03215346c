"""Answers of services over HTTP, decoded within bounds: what every connector of that kind shares.

| file | boundary |
|---|---|
| `bounded` | bytes of a body, and what a compressed one may become |
| `json_values` | JSON: numbers, nesting, size |
| `xml_tree` | XML: document types, nesting, size |
| `dates` | `Date`, `Retry-After` |
| `words` | a service's own words in an error's body |
"""
