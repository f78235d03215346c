"""What connectors to systems without a ledger share: commands in words, probing for them, polling.

| file | rule |
|---|---|
| `statement_parser` | the grammar that `run:` and `probe:` have in common |
| `sequential_execution` | commands one after the other, and none after one that may be lost |
| `probe` | what a row says about a command whose answer was lost |
| `pending_watermarks` | watermarks that wait for a poll, and end the wait for the next one |
| `readability` | a source gives up only once none of its tables can be read |
| `checkpoint_size` | as much of what is remembered as fits into a checkpoint |
| `yaml_text` | a drafted system file: YAML that is read as what was meant |
"""
