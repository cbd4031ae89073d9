

CREATE TABLE dagster.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE dagster.asset_check_executions (
    id bigint NOT NULL,
    asset_key text,
    check_name text,
    partition text,
    run_id character varying(255),
    execution_status character varying(255),
    evaluation_event text,
    evaluation_event_timestamp timestamp without time zone,
    evaluation_event_storage_id bigint,
    materialization_event_storage_id bigint,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.asset_check_executions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_check_executions_id_seq OWNED BY dagster.asset_check_executions.id;

CREATE TABLE dagster.asset_daemon_asset_evaluations (
    id bigint NOT NULL,
    evaluation_id bigint,
    asset_key text,
    asset_evaluation_body text,
    num_requested integer,
    num_skipped integer,
    num_discarded integer,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.asset_daemon_asset_evaluations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_daemon_asset_evaluations_id_seq OWNED BY dagster.asset_daemon_asset_evaluations.id;

CREATE TABLE dagster.asset_event_tags (
    id bigint NOT NULL,
    event_id bigint,
    asset_key text NOT NULL,
    key text NOT NULL,
    value text,
    event_timestamp timestamp without time zone
);

CREATE SEQUENCE dagster.asset_event_tags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_event_tags_id_seq OWNED BY dagster.asset_event_tags.id;

CREATE TABLE dagster.asset_keys (
    id bigint NOT NULL,
    asset_key character varying(512),
    last_materialization text,
    last_run_id character varying(255),
    asset_details text,
    wipe_timestamp timestamp without time zone,
    last_materialization_timestamp timestamp without time zone,
    tags text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    cached_status_data text
);

CREATE SEQUENCE dagster.asset_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_keys_id_seq OWNED BY dagster.asset_keys.id;

CREATE TABLE dagster.bulk_actions (
    id bigint NOT NULL,
    key character varying(32) NOT NULL,
    status character varying(255) NOT NULL,
    "timestamp" timestamp without time zone NOT NULL,
    body text,
    action_type character varying(32),
    selector_id text
);

CREATE SEQUENCE dagster.bulk_actions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.bulk_actions_id_seq OWNED BY dagster.bulk_actions.id;

CREATE TABLE dagster.concurrency_slots (
    id bigint NOT NULL,
    concurrency_key text NOT NULL,
    run_id text,
    step_key text,
    deleted boolean NOT NULL,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.concurrency_slots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.concurrency_slots_id_seq OWNED BY dagster.concurrency_slots.id;

CREATE TABLE dagster.daemon_heartbeats (
    id bigint NOT NULL,
    daemon_type character varying(255) NOT NULL,
    daemon_id character varying(255),
    "timestamp" timestamp without time zone NOT NULL,
    body text
);

CREATE SEQUENCE dagster.daemon_heartbeats_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.daemon_heartbeats_id_seq OWNED BY dagster.daemon_heartbeats.id;

CREATE TABLE dagster.dynamic_partitions (
    id bigint NOT NULL,
    partitions_def_name text NOT NULL,
    partition text NOT NULL,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.dynamic_partitions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.dynamic_partitions_id_seq OWNED BY dagster.dynamic_partitions.id;

CREATE TABLE dagster.event_logs (
    id bigint NOT NULL,
    run_id character varying(255),
    event text NOT NULL,
    dagster_event_type text,
    "timestamp" timestamp without time zone,
    step_key text,
    asset_key text,
    partition text
);

CREATE SEQUENCE dagster.event_logs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.event_logs_id_seq OWNED BY dagster.event_logs.id;

CREATE TABLE dagster.instance_info (
    id bigint NOT NULL,
    run_storage_id text
);

CREATE SEQUENCE dagster.instance_info_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.instance_info_id_seq OWNED BY dagster.instance_info.id;

CREATE TABLE dagster.instigators (
    id bigint NOT NULL,
    selector_id character varying(255),
    repository_selector_id character varying(255),
    status character varying(63),
    instigator_type character varying(63),
    instigator_body text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.instigators_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.instigators_id_seq OWNED BY dagster.instigators.id;

CREATE TABLE dagster.job_ticks (
    id bigint NOT NULL,
    job_origin_id character varying(255),
    selector_id character varying(255),
    status character varying(63),
    type character varying(63),
    "timestamp" timestamp without time zone,
    tick_body text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.job_ticks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.job_ticks_id_seq OWNED BY dagster.job_ticks.id;

CREATE TABLE dagster.jobs (
    id bigint NOT NULL,
    job_origin_id character varying(255),
    selector_id character varying(255),
    repository_origin_id character varying(255),
    status character varying(63),
    job_type character varying(63),
    job_body text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.jobs_id_seq OWNED BY dagster.jobs.id;

CREATE TABLE dagster.kvs (
    id bigint NOT NULL,
    key text NOT NULL,
    value text
);

CREATE SEQUENCE dagster.kvs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.kvs_id_seq OWNED BY dagster.kvs.id;

CREATE TABLE dagster.pending_steps (
    id bigint NOT NULL,
    concurrency_key text NOT NULL,
    run_id text,
    step_key text,
    priority integer,
    assigned_timestamp timestamp without time zone,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.pending_steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.pending_steps_id_seq OWNED BY dagster.pending_steps.id;

CREATE TABLE dagster.run_tags (
    id bigint NOT NULL,
    run_id character varying(255),
    key text,
    value text
);

CREATE SEQUENCE dagster.run_tags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.run_tags_id_seq OWNED BY dagster.run_tags.id;

CREATE TABLE dagster.runs (
    id bigint NOT NULL,
    run_id character varying(255),
    snapshot_id character varying(255),
    pipeline_name text,
    mode text,
    status character varying(63),
    run_body text,
    partition text,
    partition_set text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    start_time double precision,
    end_time double precision
);

CREATE SEQUENCE dagster.runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.runs_id_seq OWNED BY dagster.runs.id;

CREATE TABLE dagster.secondary_indexes (
    id bigint NOT NULL,
    name character varying(512),
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    migration_completed timestamp without time zone
);

CREATE SEQUENCE dagster.secondary_indexes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.secondary_indexes_id_seq OWNED BY dagster.secondary_indexes.id;

CREATE TABLE dagster.snapshots (
    id bigint NOT NULL,
    snapshot_id character varying(255) NOT NULL,
    snapshot_body bytea NOT NULL,
    snapshot_type character varying(63) NOT NULL
);

CREATE SEQUENCE dagster.snapshots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.snapshots_id_seq OWNED BY dagster.snapshots.id;

ALTER TABLE ONLY dagster.asset_check_executions ALTER COLUMN id SET DEFAULT nextval('dagster.asset_check_executions_id_seq'::regclass);

ALTER TABLE ONLY dagster.asset_daemon_asset_evaluations ALTER COLUMN id SET DEFAULT nextval('dagster.asset_daemon_asset_evaluations_id_seq'::regclass);

ALTER TABLE ONLY dagster.asset_event_tags ALTER COLUMN id SET DEFAULT nextval('dagster.asset_event_tags_id_seq'::regclass);

ALTER TABLE ONLY dagster.asset_keys ALTER COLUMN id SET DEFAULT nextval('dagster.asset_keys_id_seq'::regclass);

ALTER TABLE ONLY dagster.bulk_actions ALTER COLUMN id SET DEFAULT nextval('dagster.bulk_actions_id_seq'::regclass);

ALTER TABLE ONLY dagster.concurrency_slots ALTER COLUMN id SET DEFAULT nextval('dagster.concurrency_slots_id_seq'::regclass);

ALTER TABLE ONLY dagster.daemon_heartbeats ALTER COLUMN id SET DEFAULT nextval('dagster.daemon_heartbeats_id_seq'::regclass);

ALTER TABLE ONLY dagster.dynamic_partitions ALTER COLUMN id SET DEFAULT nextval('dagster.dynamic_partitions_id_seq'::regclass);

ALTER TABLE ONLY dagster.event_logs ALTER COLUMN id SET DEFAULT nextval('dagster.event_logs_id_seq'::regclass);

ALTER TABLE ONLY dagster.instance_info ALTER COLUMN id SET DEFAULT nextval('dagster.instance_info_id_seq'::regclass);

ALTER TABLE ONLY dagster.instigators ALTER COLUMN id SET DEFAULT nextval('dagster.instigators_id_seq'::regclass);

ALTER TABLE ONLY dagster.job_ticks ALTER COLUMN id SET DEFAULT nextval('dagster.job_ticks_id_seq'::regclass);

ALTER TABLE ONLY dagster.jobs ALTER COLUMN id SET DEFAULT nextval('dagster.jobs_id_seq'::regclass);

ALTER TABLE ONLY dagster.kvs ALTER COLUMN id SET DEFAULT nextval('dagster.kvs_id_seq'::regclass);

ALTER TABLE ONLY dagster.pending_steps ALTER COLUMN id SET DEFAULT nextval('dagster.pending_steps_id_seq'::regclass);

ALTER TABLE ONLY dagster.run_tags ALTER COLUMN id SET DEFAULT nextval('dagster.run_tags_id_seq'::regclass);

ALTER TABLE ONLY dagster.runs ALTER COLUMN id SET DEFAULT nextval('dagster.runs_id_seq'::regclass);

ALTER TABLE ONLY dagster.secondary_indexes ALTER COLUMN id SET DEFAULT nextval('dagster.secondary_indexes_id_seq'::regclass);

ALTER TABLE ONLY dagster.snapshots ALTER COLUMN id SET DEFAULT nextval('dagster.snapshots_id_seq'::regclass);

INSERT INTO dagster.alembic_version VALUES ('ec80dd91891a');

INSERT INTO dagster.asset_event_tags VALUES (1, 10, '["binance", "candles"]', 'dagster/code_version', '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '2026-11-27 16:20:28.124899');
INSERT INTO dagster.asset_event_tags VALUES (2, 10, '["binance", "candles"]', 'dagster/data_version', '08cac70e10e94b1948c3241b798974d48c7cbf0c7388b2455e013134fe498bc7', '2026-11-27 16:20:28.124899');

INSERT INTO dagster.asset_keys VALUES (1, '["binance", "candles"]', '{"__class__": "EventLogRecord", "event_log_entry": {"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepMaterializationData", "asset_lineage": [], "materialization": {"__class__": "AssetMaterialization", "asset_key": {"__class__": "AssetKey", "path": ["binance", "candles"]}, "description": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "PathMetadataEntryData", "path": "/tmp/storage/binance/candles/2024-01-02"}, "label": "path"}], "partition": "2024-01-02", "tags": {"dagster/code_version": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "dagster/data_version": "08cac70e10e94b1948c3241b798974d48c7cbf0c7388b2455e013134fe498bc7"}}}, "event_type_value": "ASSET_MATERIALIZATION", "logging_tags": {"job_name": "__ephemeral_asset_job__", "op_name": "binance__candles", "resource_fn_name": "None", "resource_name": "None", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles"}, "message": "Materialized value binance candles.", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796428.1248987, "user_message": "Materialized value binance candles."}, "storage_id": 10}', '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', NULL, NULL, '2026-11-27 16:20:28.124899', NULL, '2026-11-27 16:20:27.593307', NULL);

INSERT INTO dagster.event_logs VALUES (1, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "AssetMaterializationPlannedData", "asset_key": {"__class__": "AssetKey", "path": ["binance", "candles"]}, "partition": "2024-01-02"}, "event_type_value": "ASSET_MATERIALIZATION_PLANNED", "logging_tags": {}, "message": "__ephemeral_asset_job__ intends to materialize asset [\"binance\", \"candles\"]", "pid": null, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": null, "step_key": "binance__candles", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796427.5625284, "user_message": ""}', 'ASSET_MATERIALIZATION_PLANNED', '2026-11-27 16:20:27.562528', 'binance__candles', '["binance", "candles"]', '2024-01-02');
INSERT INTO dagster.event_logs VALUES (2, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "PIPELINE_START", "logging_tags": {}, "message": "Started execution of run for \"__ephemeral_asset_job__\".", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": null, "timestamp": 1795796427.5969856, "user_message": "Started execution of run for \"__ephemeral_asset_job__\"."}', 'PIPELINE_START', '2026-11-27 16:20:27.596986', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (3, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "13143"}, "label": "pid"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "[''binance__candles'']"}, "label": "step_keys"}]}, "event_type_value": "ENGINE_EVENT", "logging_tags": {}, "message": "Executing steps in process (pid: 13143)", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": null, "timestamp": 1795796427.6846032, "user_message": "Executing steps in process (pid: 13143)"}', 'ENGINE_EVENT', '2026-11-27 16:20:27.684603', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (4, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": "resources", "metadata_entries": []}, "event_type_value": "RESOURCE_INIT_STARTED", "logging_tags": {}, "message": "Starting initialization of resources [io_manager].", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796427.7103486, "user_message": "Starting initialization of resources [io_manager]."}', 'RESOURCE_INIT_STARTED', '2026-11-27 16:20:27.710349', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (5, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": "resources", "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "PythonArtifactMetadataEntryData", "module": "dagster._core.storage.fs_io_manager", "name": "PickledObjectFilesystemIOManager"}, "label": "io_manager"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "48ms"}, "label": "io_manager:init_time"}]}, "event_type_value": "RESOURCE_INIT_SUCCESS", "logging_tags": {}, "message": "Finished initialization of resources [io_manager].", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796427.7748358, "user_message": "Finished initialization of resources [io_manager]."}', 'RESOURCE_INIT_SUCCESS', '2026-11-27 16:20:27.774836', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (6, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "ComputeLogsCaptureData", "external_stderr_url": null, "external_stdout_url": null, "external_url": null, "log_key": "cduxgeca", "step_keys": ["binance__candles"]}, "event_type_value": "LOGS_CAPTURED", "logging_tags": {}, "message": "Started capturing logs in process (pid: 13143).", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": null, "timestamp": 1795796427.8222008, "user_message": "Started capturing logs in process (pid: 13143)."}', 'LOGS_CAPTURED', '2026-11-27 16:20:27.822201', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (7, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "STEP_START", "logging_tags": {"job_name": "__ephemeral_asset_job__", "op_name": "binance__candles", "resource_fn_name": "None", "resource_name": "None", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles"}, "message": "Started execution of step \"binance__candles\".", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796427.9036248, "user_message": "Started execution of step \"binance__candles\"."}', 'STEP_START', '2026-11-27 16:20:27.903625', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (8, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepOutputData", "metadata_entries": [], "step_output_handle": {"__class__": "StepOutputHandle", "mapping_key": null, "output_name": "result", "step_key": "binance__candles"}, "type_check_data": {"__class__": "TypeCheckData", "description": null, "label": "result", "metadata_entries": [], "success": true}, "version": null}, "event_type_value": "STEP_OUTPUT", "logging_tags": {"job_name": "__ephemeral_asset_job__", "op_name": "binance__candles", "resource_fn_name": "None", "resource_name": "None", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles"}, "message": "Yielded output \"result\" of type \"Any\". (Type check passed).", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796428.064636, "user_message": "Yielded output \"result\" of type \"Any\". (Type check passed)."}', 'STEP_OUTPUT', '2026-11-27 16:20:28.064636', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (9, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": null, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796428.0998182, "user_message": "Writing file at: /tmp/storage/binance/candles/2024-01-02 using PickledObjectFilesystemIOManager..."}', NULL, '2026-11-27 16:20:28.099818', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (10, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepMaterializationData", "asset_lineage": [], "materialization": {"__class__": "AssetMaterialization", "asset_key": {"__class__": "AssetKey", "path": ["binance", "candles"]}, "description": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "PathMetadataEntryData", "path": "/tmp/storage/binance/candles/2024-01-02"}, "label": "path"}], "partition": "2024-01-02", "tags": {"dagster/code_version": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "dagster/data_version": "08cac70e10e94b1948c3241b798974d48c7cbf0c7388b2455e013134fe498bc7"}}}, "event_type_value": "ASSET_MATERIALIZATION", "logging_tags": {"job_name": "__ephemeral_asset_job__", "op_name": "binance__candles", "resource_fn_name": "None", "resource_name": "None", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles"}, "message": "Materialized value binance candles.", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796428.1248987, "user_message": "Materialized value binance candles."}', 'ASSET_MATERIALIZATION', '2026-11-27 16:20:28.124899', 'binance__candles', '["binance", "candles"]', '2024-01-02');
INSERT INTO dagster.event_logs VALUES (11, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "HandledOutputData", "manager_key": "io_manager", "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "PathMetadataEntryData", "path": "/tmp/storage/binance/candles/2024-01-02"}, "label": "path"}], "output_name": "result"}, "event_type_value": "HANDLED_OUTPUT", "logging_tags": {"job_name": "__ephemeral_asset_job__", "op_name": "binance__candles", "resource_fn_name": "None", "resource_name": "None", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles"}, "message": "Handled output \"result\" using IO manager \"io_manager\"", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796428.1930196, "user_message": "Handled output \"result\" using IO manager \"io_manager\""}', 'HANDLED_OUTPUT', '2026-11-27 16:20:28.19302', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (12, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepSuccessData", "duration_ms": 158.12993200233905}, "event_type_value": "STEP_SUCCESS", "logging_tags": {"job_name": "__ephemeral_asset_job__", "op_name": "binance__candles", "resource_fn_name": "None", "resource_name": "None", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles"}, "message": "Finished execution of step \"binance__candles\" in 158ms.", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "binance__candles", "solid_handle": {"__class__": "SolidHandle", "name": "binance__candles", "parent": null}}, "step_key": "binance__candles", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": "binance__candles", "timestamp": 1795796428.2220972, "user_message": "Finished execution of step \"binance__candles\" in 158ms."}', 'STEP_SUCCESS', '2026-11-27 16:20:28.222097', 'binance__candles', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (13, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "13143"}, "label": "pid"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "[''binance__candles'']"}, "label": "step_keys"}]}, "event_type_value": "ENGINE_EVENT", "logging_tags": {}, "message": "Finished steps in process (pid: 13143) in 598ms", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": null, "timestamp": 1795796428.3018086, "user_message": "Finished steps in process (pid: 13143) in 598ms"}', 'ENGINE_EVENT', '2026-11-27 16:20:28.301809', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (14, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "PIPELINE_SUCCESS", "logging_tags": {}, "message": "Finished execution of run for \"__ephemeral_asset_job__\".", "pid": 13143, "pipeline_name": "__ephemeral_asset_job__", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "__ephemeral_asset_job__", "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "step_key": null, "timestamp": 1795796428.3303711, "user_message": "Finished execution of run for \"__ephemeral_asset_job__\"."}', 'PIPELINE_SUCCESS', '2026-11-27 16:20:28.330371', NULL, NULL, NULL);

INSERT INTO dagster.instance_info VALUES (1, '56fffe45-87b1-4e4b-9fa2-8021e2fbc750');

INSERT INTO dagster.run_tags VALUES (1, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', 'old', 'yes');
INSERT INTO dagster.run_tags VALUES (2, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', 'dagster/partition', '2024-01-02');
INSERT INTO dagster.run_tags VALUES (3, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', 'dagster/partition_set', '__ephemeral_asset_job___partition_set');

INSERT INTO dagster.runs VALUES (1, '6128f4f9-0c13-4d1d-874e-c20a0bed3c34', '50ee151ebf837988f5da25cf55591784afcc3715', '__ephemeral_asset_job__', NULL, 'SUCCESS', '{"__class__": "PipelineRun", "asset_check_selection": null, "asset_selection": {"__frozenset__": []}, "execution_plan_snapshot_id": "fb7038d63d813808a5d541dbe38465bfc26a76c1", "external_pipeline_origin": null, "has_repository_load_data": false, "mode": null, "parent_run_id": null, "pipeline_code_origin": null, "pipeline_name": "__ephemeral_asset_job__", "pipeline_snapshot_id": "50ee151ebf837988f5da25cf55591784afcc3715", "root_run_id": null, "run_config": {}, "run_id": "6128f4f9-0c13-4d1d-874e-c20a0bed3c34", "solid_selection": null, "solids_to_execute": null, "status": {"__enum__": "PipelineRunStatus.SUCCESS"}, "step_keys_to_execute": ["binance__candles"], "tags": {"dagster/partition": "2024-01-02", "dagster/partition_set": "__ephemeral_asset_job___partition_set", "old": "yes"}}', '2024-01-02', '__ephemeral_asset_job___partition_set', '2026-11-27 16:20:27.552666', '2026-11-27 16:20:28.403046', 1795796427.661213, 1795796428.403046);

INSERT INTO dagster.secondary_indexes VALUES (1, 'run_partitions', '2026-11-27 16:20:26.638044', '2026-11-27 16:20:26.621726');
INSERT INTO dagster.secondary_indexes VALUES (2, 'run_repo_label_tags', '2026-11-27 16:20:26.672122', '2026-11-27 16:20:26.665709');
INSERT INTO dagster.secondary_indexes VALUES (3, 'bulk_action_types', '2026-11-27 16:20:26.697539', '2026-11-27 16:20:26.692655');
INSERT INTO dagster.secondary_indexes VALUES (4, 'run_start_end_overwritten', '2026-11-27 16:20:26.778018', '2026-11-27 16:20:26.769621');
INSERT INTO dagster.secondary_indexes VALUES (5, 'asset_key_table', '2026-11-27 16:20:27.043394', '2026-11-27 16:20:27.029189');
INSERT INTO dagster.secondary_indexes VALUES (6, 'asset_key_index_columns', '2026-11-27 16:20:27.09125', '2026-11-27 16:20:27.080871');
INSERT INTO dagster.secondary_indexes VALUES (7, 'schedule_jobs_selector_id', '2026-11-27 16:20:27.31399', '2026-11-27 16:20:27.303222');
INSERT INTO dagster.secondary_indexes VALUES (8, 'schedule_ticks_selector_id', '2026-11-27 16:20:27.393693', '2026-11-27 16:20:27.387975');

INSERT INTO dagster.snapshots VALUES (1, '50ee151ebf837988f5da25cf55591784afcc3715', '\x789ced5c4973e3b612fe2b2c5d72495c24c10db979b6c4f51c3b35720ea9d8c5c2d2b09850241f49394f6fcaff3d00176d2669489664cdc487199914d0e8fe7a07097d1985218b495184e1e84763f46b94411c25304e48564cd272f4bd31626922a2fbb060139892b068bff9d1f8b23ef77d356e5c0d5b9d4fe2386c69a8db219d877fc1bc22709eccfb08ddccb38a0d458243c1f2282ba334910392591ccb9b90cca6e1038967502c6f8a0862be727d1f3d401226640a8ab25a4edeac575f5c45096f98a8486ef0f01ff9f5d9f9d5efa34739b660242679d84c69d628e5a8302339992ab9dac5d5f077691a6f2fdf68b49b74d56a4bf116971af28ddf9f5f9e7fee10b16bd6b81a51cd7b777d7d59cdeac7e0539c925e6bd93f08f5724b1496d70784e1d3e5f5f9cd33385c244744412db6c4a0bd3a20021757cfc95f0ffe2d91829d29d3fc610c31b032cdcf28b8dcb5028a30041e711073850dc0887051c02ce131dfb72ceae223468ae65e83df1e58df0afef0b7ab8bebab6d02ce1f0b6fdf9eb5bb4ded542eb394919b26413ea0c0f439f219161e66ccb331f699435ce110cbf7c065e824d4b32bef07d7cf220e6dcfdb1305497f5e8a48b08f31c5bec52d9b30f04d62f32030110b02f9cf438ee573d3b7dd9350cf6e9c1f5c394d80dc9eb327aa19977994dc2f6504d3f16dc430c758e99a50dbb24dcf412eb56ddbf199906e1ad8de69c4b69d993fb8826aced674a4cd5cada3769aedfa9669616111d736adc045dcb24c645b8e4b18021739a6e70b79792085fcd149f493fa7a495590595c86599e3e441c143282c405ac7c55910f4911fe59a4495894f972a54e9ea222cce1bfb328afa895f94c116b6b05481e462decad51d4703fde3d633b5b83aa6b281f2f3fbebfb9eeaa439eadb94f25309ea0a6158d27aa9e900cce1cea22ea232e9063a3c0e226375d593020cf0a106718338a3d998d6ca590d3932b8bd85f317c8b9255c4360553d94adb35f79e64f7e19aaf5cf1bfb9e69b6b1ec635ab2e4cdb37f7de3deec3375fb9dd7bf3cd37df3c8c6fd61db8b673ee7deb601fcef9caede49b73be39e7619c73db8e73ef5b13fbf04e610bf0b8e0cc3389851d9f0422009fc9f0e113d3b2a9e39b9e4bd9bf686fe1cd3bbf36c93abd533d29d5764d6d2f38866b561a31030bb98ee7218ab943034105b7180d00b981ef216cd9d895ff2371527ed9e86548c9a3dbd1c5d5a7ebdb51c783c39b0918717a7f0ff97785514e72282669cccf464ff4df5a536b00725218c303c47d217a47abd5938793fba284bc5724c5a5910a639ecef2463e0d99aacf1d33ce7616a46bd3379f2fdedf84e39fcf7ffdf802bb16102017718fba8e4d181384630a8c724a80625b780e064a31f9eaecfacbedd20c6fe58dd6cebf977f292dd5f716b6f2d8632ccd1a064be3541a86fc4c8a34067dbba95f5be90ef3da26a16961baba3caa855901b50521c202c15dd345be237c61bb8251cf02ee62ca5d0a816b9d9485ed373f6eda042505843ccabbe3c958c625064a6c4dbd6b237c54bddb844b7be316e75c56d2d4c20802798dc177b8495d1af89c136edb27a577adc8d2152b6af2b31c8c49fab721634a5618445ec1ff80cd4a1938fe8eca499418c4c8678946d8a8e7457da5afef20707cac1e94b98cda8e2b1b17ce3d84c0b67c2a35ef606259c43f68aad500a20e938501d3a834a65014e41e8a6db168887423218dcae5d805592f9a20844583c061be271c87d884fa668085c91c4c0f8bc4ed8846094918c80548c26328547ef9f2388c9014bf8c6431527911940a2891e6462a6d477e483ea12c34f091e3bbb161ccb140d6d026761dc1034c4c5fc2e1f80ec13e250449c03c9964d8a1b189d2704a12a9fabc42e5b6498a0d441aee34212af7ca02b40a8db56745d32c8629243b38d78250376c184c932224111360613720c8969d077099ab4d66cb5b41603bc4b335c3b376203c6a78761c6113df429eef9a52362e1d073c993810b66d9b39487659c8c316fd26c2b356561eaad4b453ac9e4968837f5c93d0dd7538259338ec1e0d29272f6afab4213daaa2b5ab876f57d17aceafb569b51da44755b476263b25456b16156b35444709f16e16c5e50fb22a10912cc7e6b2249f1a17d746538818e58494b24e974dbd2c2712555c48bf860779558b63cc0ae9e646b54b2bffd0a82a96554ecfa6ae6ed0d7b3386ddd1ed5e2b44bceafcee2762d2b361b839736745ac6a1ad86a31a8776af764ac671f0bca3f6137bf6077537f4f48c421bfe6319455d491ded44d3f20df0f5524e57dc1dcf352998ae7e7aee68d3e6d6dfabbdccbfc9c856e8ece9c57ced97c1ef1e1fd55acd367e5891576215199121b7ffa0e9877a82e2feaa1dbe79e0748da8deb1d315b2834ae25191c564be79a854860aaaaa96285926258d83a62babae9d348d53c225ffcda9db973c639d12493f2271f4ff4d7a8d401b8274a8f9aeff30ebaea8b5e7d506601b3cc0ba89db8a837743b797337cda58b6bcf781d9732a76573417a7cb06e01c3e09fb123c5f70e84e1bd005f77d88769eafdd15cfe640d8009a43676a5f82e5ce27e4b4916c38efc3f12a55dbb11d997d572c5b82c378ae8cd2c2f4eafae6e736337781da30a38dcacafa7dc8f4953cbb02b3cc9d03b83c53e6bcc4d45e72dc4f1bd725ff9db0d6150064aa169fb172960f267ec820e190b0f9b81dbd9af7652d1ef1304a1e524614f235a58ede61ac065e2cc6b54a8b926c56861533edc4bb5a397c2ec58958382559b6d609d44bcaee221cea18eb51833da554e3a8da0cb97bec339ffb9c6493b5b5a421641279c8491c560f9cc23f532a4554ca8f1220f76b60b61e9172a8a8f4a1f38b1cf001c4a029d74ff506c95c5643560835bf015295b3d5acbe32f9ed0d92cd374876666eb353ad7acdf666335f8d6b1faa0d6af47333e8d574faba0f879e2ae100bb941dfb9195cef2342ddb5fd1d9ed01e59aea0722c722a44549a4042d06027215483f2c87aeff6cd0344b8ba89431681124d7e26ac7ed1ef27bb7b6577b1cd14bb0493d1b100da58c74563e99b301c67535643596af76c5ebcd699f9c4dea5b1173f0a19bb47515526a9b6d46858be8b2c8fb4f53def2f21f25aa6352', 'PIPELINE');
INSERT INTO dagster.snapshots VALUES (2, 'fb7038d63d813808a5d541dbe38465bfc26a76c1', '\x789cb5544d6fdb300cfd2b85cfc3b0ac3592ee560c050a044303643b0501c1da7423c4913589eee606f9ef2365c54ed38fdbae7ce413f9f8a87d0650d4180240f6ed22bbfd4b45cba6b18b1aedd2a20b9b86b34f17197a3615161cc0910f26309592cfbe25012956351e2cee48c2b6ad6b091b6bd8600d5bdbfcb1101859c1fdcb17e70a0ecf2e6392d4969d70990276e89cb18f410b0f1277e8c9f240965e729e9e4cd306f0c4be0364a69de3a1c813961d342dbbb60f4a0b956f9ec906e2d8c66aad7932954b69f0a46336360ca0338e6a63094292058c4a90e55f8826f9841eaad9e5f47a36abf212bfe64595e7f9f5643abbc2aa282ea7935ca71a4a13bbd44f8eef6ea90bc00df462ea70abecc158b405896068cb9a42b64ed9b1adfd3bbb5b4a82ee2e8b3b4833afb454ded0cc57b40a195b2669c8b6bb9e5299e6027cfe7eff63f1ebe76da642ec88b1444630a2f2403daafb615ff731edd85d898f328d07ee1c416aeec6760a252bc9ee425b470b3adf88f7d85078eda2917a3166a96d836eb8d850b1854d1c76344d8ff5af9ed1dd2834a7d88843de9c2e4363c33a540f1320528df7708c80d3b3d1d14faf45d0e46e8955588714f4f4bb35fe3453acd2d6a5dc80682487649ee95811dddad4a61ca73a5744d1bb1e3c91f3add5f7379584391cd667dcc9e76f5546e3bedb818063031f58ef7f0d2211c6f4751cd6877facafae8d', 'EXECUTION_PLAN');

SELECT pg_catalog.setval('dagster.asset_check_executions_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.asset_daemon_asset_evaluations_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.asset_event_tags_id_seq', 2, true);

SELECT pg_catalog.setval('dagster.asset_keys_id_seq', 2, true);

SELECT pg_catalog.setval('dagster.bulk_actions_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.concurrency_slots_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.daemon_heartbeats_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.dynamic_partitions_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.event_logs_id_seq', 14, true);

SELECT pg_catalog.setval('dagster.instance_info_id_seq', 1, true);

SELECT pg_catalog.setval('dagster.instigators_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.job_ticks_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.jobs_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.kvs_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.pending_steps_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.run_tags_id_seq', 3, true);

SELECT pg_catalog.setval('dagster.runs_id_seq', 1, true);

SELECT pg_catalog.setval('dagster.secondary_indexes_id_seq', 8, true);

SELECT pg_catalog.setval('dagster.snapshots_id_seq', 2, true);

ALTER TABLE ONLY dagster.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY dagster.asset_check_executions
    ADD CONSTRAINT asset_check_executions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.asset_daemon_asset_evaluations
    ADD CONSTRAINT asset_daemon_asset_evaluations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.asset_event_tags
    ADD CONSTRAINT asset_event_tags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.asset_keys
    ADD CONSTRAINT asset_keys_asset_key_key UNIQUE (asset_key);

ALTER TABLE ONLY dagster.asset_keys
    ADD CONSTRAINT asset_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.bulk_actions
    ADD CONSTRAINT bulk_actions_key_key UNIQUE (key);

ALTER TABLE ONLY dagster.bulk_actions
    ADD CONSTRAINT bulk_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.concurrency_slots
    ADD CONSTRAINT concurrency_slots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.daemon_heartbeats
    ADD CONSTRAINT daemon_heartbeats_daemon_type_key UNIQUE (daemon_type);

ALTER TABLE ONLY dagster.daemon_heartbeats
    ADD CONSTRAINT daemon_heartbeats_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.dynamic_partitions
    ADD CONSTRAINT dynamic_partitions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.event_logs
    ADD CONSTRAINT event_logs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.instance_info
    ADD CONSTRAINT instance_info_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.instigators
    ADD CONSTRAINT instigators_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.instigators
    ADD CONSTRAINT instigators_selector_id_key UNIQUE (selector_id);

ALTER TABLE ONLY dagster.job_ticks
    ADD CONSTRAINT job_ticks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.jobs
    ADD CONSTRAINT jobs_job_origin_id_key UNIQUE (job_origin_id);

ALTER TABLE ONLY dagster.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.kvs
    ADD CONSTRAINT kvs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.pending_steps
    ADD CONSTRAINT pending_steps_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.run_tags
    ADD CONSTRAINT run_tags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.runs
    ADD CONSTRAINT runs_run_id_key UNIQUE (run_id);

ALTER TABLE ONLY dagster.secondary_indexes
    ADD CONSTRAINT secondary_indexes_name_key UNIQUE (name);

ALTER TABLE ONLY dagster.secondary_indexes
    ADD CONSTRAINT secondary_indexes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.snapshots
    ADD CONSTRAINT snapshots_snapshot_id_key UNIQUE (snapshot_id);

CREATE INDEX idx_asset_check_executions ON dagster.asset_check_executions USING btree (asset_key, check_name, materialization_event_storage_id, partition);

CREATE UNIQUE INDEX idx_asset_check_executions_unique ON dagster.asset_check_executions USING btree (asset_key, check_name, run_id, partition);

CREATE UNIQUE INDEX idx_asset_daemon_asset_evaluations_asset_key_evaluation_id ON dagster.asset_daemon_asset_evaluations USING btree (asset_key, evaluation_id);

CREATE INDEX idx_asset_event_tags ON dagster.asset_event_tags USING btree (asset_key, key, value);

CREATE INDEX idx_asset_event_tags_event_id ON dagster.asset_event_tags USING btree (event_id);

CREATE INDEX idx_bulk_actions ON dagster.bulk_actions USING btree (key);

CREATE INDEX idx_bulk_actions_action_type ON dagster.bulk_actions USING btree (action_type);

CREATE INDEX idx_bulk_actions_selector_id ON dagster.bulk_actions USING btree (selector_id);

CREATE INDEX idx_bulk_actions_status ON dagster.bulk_actions USING btree (status);

CREATE UNIQUE INDEX idx_dynamic_partitions ON dagster.dynamic_partitions USING btree (partitions_def_name, partition);

CREATE INDEX idx_event_type ON dagster.event_logs USING btree (dagster_event_type, id);

CREATE INDEX idx_events_by_asset ON dagster.event_logs USING btree (asset_key, dagster_event_type, id) WHERE (asset_key IS NOT NULL);

CREATE INDEX idx_events_by_asset_partition ON dagster.event_logs USING btree (asset_key, dagster_event_type, partition, id) WHERE ((asset_key IS NOT NULL) AND (partition IS NOT NULL));

CREATE INDEX idx_events_by_run_id ON dagster.event_logs USING btree (run_id, id);

CREATE INDEX idx_job_tick_status ON dagster.job_ticks USING btree (job_origin_id, status);

CREATE INDEX idx_job_tick_timestamp ON dagster.job_ticks USING btree (job_origin_id, "timestamp");

CREATE UNIQUE INDEX idx_kvs_keys_unique ON dagster.kvs USING btree (key);

CREATE UNIQUE INDEX idx_pending_steps ON dagster.pending_steps USING btree (concurrency_key, run_id, step_key);

CREATE INDEX idx_run_partitions ON dagster.runs USING btree (partition_set, partition);

CREATE INDEX idx_run_range ON dagster.runs USING btree (status, update_timestamp, create_timestamp);

CREATE INDEX idx_run_status ON dagster.runs USING btree (status);

CREATE INDEX idx_run_tags ON dagster.run_tags USING btree (key, value);

CREATE INDEX idx_runs_by_job ON dagster.runs USING btree (pipeline_name, id);

CREATE INDEX idx_step_key ON dagster.event_logs USING btree (step_key);

CREATE INDEX idx_tick_selector_timestamp ON dagster.job_ticks USING btree (selector_id, "timestamp");

CREATE INDEX ix_asset_daemon_asset_evaluations_evaluation_id ON dagster.asset_daemon_asset_evaluations USING btree (evaluation_id);

CREATE INDEX ix_instigators_instigator_type ON dagster.instigators USING btree (instigator_type);

CREATE INDEX ix_job_ticks_job_origin_id ON dagster.job_ticks USING btree (job_origin_id);

CREATE INDEX ix_jobs_job_type ON dagster.jobs USING btree (job_type);

ALTER TABLE ONLY dagster.asset_event_tags
    ADD CONSTRAINT asset_event_tags_event_id_fkey FOREIGN KEY (event_id) REFERENCES dagster.event_logs(id) ON DELETE CASCADE;

ALTER TABLE ONLY dagster.runs
    ADD CONSTRAINT fk_runs_snapshot_id_snapshots_snapshot_id FOREIGN KEY (snapshot_id) REFERENCES dagster.snapshots(snapshot_id);

ALTER TABLE ONLY dagster.run_tags
    ADD CONSTRAINT run_tags_run_id_fkey FOREIGN KEY (run_id) REFERENCES dagster.runs(run_id) ON DELETE CASCADE;


