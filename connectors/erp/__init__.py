"""What connectors to systems without a ledger share: statements of commands, probes, polling.

| file | rule |
|---|---|
| `statement_parser` | the grammar that `run:` and `probe:` have in common |
| `sequential_execution` | commands one after the other; none after one whose answer was lost |
| `probe` | whether a row shows that a command took effect whose answer was lost |
| `pending_watermarks` | watermarks that wait for a poll, and end the wait for the next one |
| `readability` | a source gives up only once none of its tables can be read |
| `checkpoint_size` | how much of the remembered state fits into a checkpoint |
| `yaml_text` | pieces of a drafted system file: quoted YAML |
"""
