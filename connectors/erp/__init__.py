"""What connectors to systems without a ledger share: commands in words, and what became of them.

| file | rule |
|---|---|
| `statement_parser` | the grammar that `run:` and `probe:` have in common |
| `yaml_text` | text from a service as YAML that is read as what was meant |
"""
