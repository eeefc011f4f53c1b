"""The Python functions behind the components: configuration in, ``omics_datastore`` at work, result out. No kfp."""
