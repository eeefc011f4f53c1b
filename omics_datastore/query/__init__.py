"""Questions to the warehouse, each written once as an Ibis expression over the table schemas."""
