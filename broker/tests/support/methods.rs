//! Every method of every service, as `Service/Method`.

pub(crate) const CREATE: &str = "ReservationService/CreateReservation";
pub(crate) const BATCH: &str = "ReservationService/BatchCreateReservations";
pub(crate) const CONFIRM: &str = "ReservationService/ConfirmReservation";
pub(crate) const EXTEND: &str = "ReservationService/ExtendHold";
pub(crate) const UPDATE: &str = "ReservationService/UpdateReservation";
pub(crate) const GET: &str = "ReservationService/GetReservation";
pub(crate) const LIST: &str = "ReservationService/ListReservations";
pub(crate) const RELEASE: &str = "ReservationService/ReleaseReservation";
pub(crate) const WINDOWS: &str = "ReservationService/FindWindows";
pub(crate) const EXPLAIN: &str = "ReservationService/ExplainReservation";
pub(crate) const WATCH: &str = "ReservationService/WatchReservations";
pub(crate) const ADMIT: &str = "ReservationService/Admit";
pub(crate) const OPEN: &str = "SessionService/OpenSession";
pub(crate) const BEAT: &str = "SessionService/KeepAlive";
pub(crate) const CLOSE: &str = "SessionService/CloseSession";
pub(crate) const GET_SESSION: &str = "SessionService/GetSession";
pub(crate) const LIST_SESSIONS: &str = "SessionService/ListSessions";
pub(crate) const APPLY: &str = "TopologyService/ApplyTopology";
pub(crate) const EXPORT: &str = "TopologyService/ExportTopology";
pub(crate) const RESOURCES: &str = "TopologyService/ListResources";
pub(crate) const PATHS: &str = "TopologyService/ResolvePath";
pub(crate) const DRAIN: &str = "TopologyService/DrainResource";
pub(crate) const UNDRAIN: &str = "TopologyService/UndrainResource";
pub(crate) const MAINTAIN: &str = "TopologyService/CreateMaintenance";
pub(crate) const MAINTENANCES: &str = "TopologyService/ListMaintenances";
pub(crate) const UNMAINTAIN: &str = "TopologyService/DeleteMaintenance";
pub(crate) const POLICY: &str = "PolicyService/ApplyPolicy";
pub(crate) const PROJECT: &str = "PolicyService/GetProject";
pub(crate) const PROJECTS: &str = "PolicyService/ListProjects";
pub(crate) const CLASS: &str = "PolicyService/GetClass";
pub(crate) const CLASSES: &str = "PolicyService/ListClasses";
pub(crate) const RULE: &str = "PolicyService/GetRule";
pub(crate) const RULES: &str = "PolicyService/ListRules";
pub(crate) const SIMULATE: &str = "PolicyService/SimulatePolicy";
pub(crate) const EFFECTIVE: &str = "PolicyService/GetEffectivePolicy";
pub(crate) const OBSERVE: &str = "TopologyService/ReportObservations";
pub(crate) const UTILIZATION: &str = "ReportService/QueryUtilization";
pub(crate) const TOP: &str = "ReportService/ListTopConsumers";
pub(crate) const REFUSALS: &str = "ReportService/AggregateRefusals";
pub(crate) const FORECAST: &str = "ReportService/ForecastUtilization";
pub(crate) const STATEMENT: &str = "ReportService/GetUsageStatement";
pub(crate) const EXPORT_FILE: &str = "ReportService/ExportReservations";
pub(crate) const INFO: &str = "AdminService/GetServerInfo";
pub(crate) const BACKUP: &str = "AdminService/StreamBackup";

/// Those that change something, in the order in which one good request of each can be carried out.
pub(crate) const MUTATIONS: [&str; 14] = [
    CREATE, BATCH, EXTEND, CONFIRM, UPDATE, RELEASE, OPEN, CLOSE, APPLY, DRAIN, UNDRAIN, MAINTAIN,
    UNMAINTAIN, POLICY,
];

/// All of them; those that change something in their order.
pub(crate) const ALL: [&str; 44] = [
    CREATE,
    BATCH,
    EXTEND,
    CONFIRM,
    UPDATE,
    GET,
    LIST,
    WINDOWS,
    EXPLAIN,
    RELEASE,
    WATCH,
    ADMIT,
    OPEN,
    BEAT,
    CLOSE,
    GET_SESSION,
    LIST_SESSIONS,
    APPLY,
    EXPORT,
    RESOURCES,
    PATHS,
    DRAIN,
    UNDRAIN,
    MAINTAIN,
    MAINTENANCES,
    UNMAINTAIN,
    SIMULATE,
    POLICY,
    PROJECT,
    PROJECTS,
    CLASS,
    CLASSES,
    RULE,
    RULES,
    EFFECTIVE,
    OBSERVE,
    UTILIZATION,
    TOP,
    REFUSALS,
    FORECAST,
    STATEMENT,
    EXPORT_FILE,
    INFO,
    BACKUP,
];
