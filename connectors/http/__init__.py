"""What connectors over HTTP share. Answers are decoded within bounds.

| file | what it decides |
|---|---|
| `client` | the hooks of every client: bounds of answers, secrets of headers |
| `exchange_errors` | an exchange without an answer as one of the bridge's errors |
| `bounded_body` | bytes of a body, and what a compressed one may become |
| `json_values` | JSON: numbers, nesting, size |
| `xml_tree` | XML: document types, nesting, size |
| `dates` | `Date`, `Retry-After` |
| `plain_login` | whether a login crosses a network in clear |
| `secret_headers` | tokens and cookies that the redactor must know |
| `tls` | the TLS context of a system |
| `error_words` | a service's own words in an error's body |
"""
