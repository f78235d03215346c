"""What happens to one event for one handler: wrappers of one signature, each a file, in the order of
`build.build_pipeline`.
"""
