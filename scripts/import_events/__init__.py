"""Imports events that other products recorded, through the API of a running service.

`formats/` has one small table for each product. `reader` finds the events of a file, `mapping` makes a record of each,
`details` keeps the event itself within the limits of the service, and `sender` sends the records in batches.
"""
