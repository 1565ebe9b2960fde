"""Cloud Storage, as far as deployments need it: buckets and objects, kept as files of the testbed.

Function and App Engine deployments upload their source to Cloud Storage first.  The methods for that are served; a
bucket's access, life cycle and versions are not.
"""
